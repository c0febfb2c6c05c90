"""The peer: transformers 4.57's question-answering pipeline, in its own environment. Imports nothing of the project.

Its arguments are a number of threads and checkpoint folders. Each line of standard input is a JSON object: `tasks`, a
list of `{"question", "context"}`, and `options` of the pipeline. The answer is a line with the seconds and the answers:
of one task, by every model in turn; of many, by the first model in batches of 32.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def main() -> None:
    """Answer until standard input ends."""
    import torch
    import transformers

    threads, *folders = sys.argv[1:]
    torch.set_num_threads(int(threads))
    transformers.logging.set_verbosity_error()
    pipeline: Any = transformers.pipeline  # of the other release, which has this task still
    pipes = [pipeline("question-answering", model=folder, device="cpu") for folder in folders]
    for line in sys.stdin:
        asked = json.loads(line)
        tasks, options = asked["tasks"], asked["options"]
        begin = time.perf_counter()
        if len(tasks) == 1:
            answers = [pipe(**tasks[0], **options)["answer"] for pipe in pipes]
        else:
            answers = [found["answer"] for found in pipes[0](tasks, batch_size=32, **options)]
        print(json.dumps([time.perf_counter() - begin, answers]), flush=True)


if __name__ == "__main__":
    main()
