"""Runs this checkout's command and programs of Python in processes that are forked from one which has imported what is slow.

python warm.py SOCKET            serves until its standard input ends
python -S -E warm.py SOCKET homunculus look page.png
python -S -E warm.py SOCKET python program.py
"""

from __future__ import annotations

import json
import os
import socket
import sys

LONGEST = 1 << 20


def ask(path: str, words: list[str]) -> int:
    """Has words run with this process's folder, environment and streams; returns the exit status."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(path)
        told = json.dumps([words, os.getcwd(), dict(os.environ)]).encode()
        socket.send_fds(link, [len(told).to_bytes(4, "big") + told], [0, 1, 2])
        return int(link.recv(16) or b"99")


def serve(path: str) -> None:
    import runpy
    import select
    from contextlib import suppress
    from multiprocessing import process

    import homunculus.encoder.load
    import homunculus.lab.gaze
    import homunculus.loop.run.driver
    import homunculus.viewer.command  # noqa: F401
    from homunculus.cli import main

    with suppress(ImportError):
        from transformers import Dinov2Model  # noqa: F401

    def run(words: list[str], folder: str, environment: dict[str, str], streams: list[int]) -> int:
        for place, stream in enumerate(streams):
            os.dup2(stream, place)
        os.chdir(folder)
        process.ORIGINAL_DIR = folder  # in which spawned processes look for the program
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = words if words[0] == "homunculus" else words[1:]
        try:
            main() if words[0] == "homunculus" else runpy.run_path(words[1], run_name="__main__")
        except SystemExit as end:
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
            return end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            return 1
        return 0

    with socket.socket(socket.AF_UNIX) as door:
        door.bind(path)
        door.listen()
        children: set[int] = set()
        while sys.stdin not in select.select([door, sys.stdin], [], [])[0]:
            link = door.accept()[0]
            content, streams, _, _ = socket.recv_fds(link, LONGEST, 3)
            while len(content) < 4 + int.from_bytes(content[:4], "big"):
                content += link.recv(LONGEST)
            children.add(child := os.fork())
            if child == 0:
                status = run(*json.loads(content[4:]), streams)
                sys.stdout.flush()
                sys.stderr.flush()
                link.send(b"%d" % status)
                os._exit(0)
            for stream in streams:
                os.close(stream)
            link.close()
            while children and (ended := os.waitpid(-1, os.WNOHANG)[0]):
                children.discard(ended)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(ask(sys.argv[1], sys.argv[2:]))
    serve(sys.argv[1])
