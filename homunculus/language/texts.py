"""What models' own processors write among an image's tokens: names of tiles, ends of rows. Text, and no visual tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from homunculus.language.connector import ImageTokens

Prompt = tuple[Tensor, Tensor]


def woven(
    ids: Prompt, image_tokens: ImageTokens, said: Callable[[str], Tensor], embed: Callable[[Tensor], Tensor]
) -> tuple[Prompt, ImageTokens]:
    """A prompt's tokens before and after the image, and the image's, with its texts among them.

    said: int64 the tokens of a text. embed: [S, D] the rows of tokens. Texts at either end join the prompt, others become rows of the
    image, which goes on one after the other.
    """
    before, after = ids
    count, rows, done = len(image_tokens.tokens), [], 0
    for at, text in image_tokens.texts:
        if at == 0:
            before = torch.cat([before, said(text)])
        elif at == count:
            after = torch.cat([said(text), after])
        else:
            rows += [image_tokens.tokens[done:at], embed(said(text))]
            done = at
    if done:
        tokens = torch.cat([*(row.to(image_tokens.tokens) for row in rows), image_tokens.tokens[done:]])
        places = torch.arange(len(tokens), device=tokens.device, dtype=torch.int64)[None]
        image_tokens = replace(image_tokens, tokens=tokens, places=places, length=len(tokens))
    return (before, after), replace(image_tokens, texts=())
