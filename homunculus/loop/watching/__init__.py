"""A video watched from end to end: what was seen of each frame in shards, whoever is killed meanwhile, and pictures of it."""
