"""Full fine-tuning, the upper reference: every parameter is trained. Its record is kept, its weights are not shipped.

python -m train.full --train-file new_wiki.json --learning-rate 5e-5
python -m qa_compare evaluate held-out.json --variant full --model runs/minilm-l6-qa/full/model --save

The whole model lies there with its tokenizer: an ordinary checkpoint, which `--backbone` takes too.
"""

from __future__ import annotations

from train.loop import Method, main

METHOD = Method(
    "full",
    lambda options: None,
    {"learning_rate": 1e-4, "epochs": 3.0},
    unfreeze=lambda name: True,
    ship=False,
    trains_head=True,
)

if __name__ == "__main__":
    main(METHOD, description=__doc__)
