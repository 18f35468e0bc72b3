"""What joins a device to this computer: serial lines and GPIO lines."""
