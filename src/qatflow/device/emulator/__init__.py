"""An ARM device in qemu."""
