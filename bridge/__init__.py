"""Texture units: images become pyramids, sample plans become patches. Knows nothing of vision science."""
