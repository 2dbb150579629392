"""qatflow: from pictures to a measured int8 model on an ARM device."""
