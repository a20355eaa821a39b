"""gansteer: steer what a GAN draws."""
