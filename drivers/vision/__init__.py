"""Finding QR codes in frames: `qr` in a worker process, `looker` beside the camera, `frames` between them."""
