"""Photos: read, cut out as the model's own pictures are, reconstructed by the generator, put back where they came from."""
