"""Do foveated tokens of a pretrained ViT still say which thing, and which part of it, they show? Real photographs, real weights."""
