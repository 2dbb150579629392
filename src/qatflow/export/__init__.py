"""The trained graph written as float, int8 and mobile models."""
