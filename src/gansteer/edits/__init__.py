"""One file per way of steering a picture."""
