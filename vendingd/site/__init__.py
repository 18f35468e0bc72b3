"""The site file: what one machine is made of. `load.load_site` reads it."""
