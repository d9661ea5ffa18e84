"""Feeding pretrained vision models with patches of any place and scale, and comparing what they see with a text."""

from homunculus.encoder.dense import dense_features, in_cells, similarity
from homunculus.encoder.family import Family
from homunculus.encoder.text import TextEmbedding, TextEncoder, Texts
from homunculus.encoder.vit import Encoding, FoveatedViT

__all__ = [
    "Encoding",
    "Family",
    "FoveatedViT",
    "TextEmbedding",
    "TextEncoder",
    "Texts",
    "dense_features",
    "in_cells",
    "similarity",
]
