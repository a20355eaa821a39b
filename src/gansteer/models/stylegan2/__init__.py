"""StyleGAN2's generator, and what makes it quick for editing."""
