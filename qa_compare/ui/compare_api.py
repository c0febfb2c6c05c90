"""The `/compare` endpoint: one question for programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from qa_compare.errors import UserError
from qa_compare.service import Service


def endpoint(service: Service) -> Callable[..., dict[str, Any]]:
    """The function behind `/compare`."""

    def compare(passage: str, question: str, variants: list[str] | None = None) -> dict[str, Any]:
        """Answer one question about one passage with variants of the default backbone.

        Parameters:
            passage: the text to search, up to 200,000 characters
            question: one question about it, up to 2,000 characters, of which 64 tokens are read
            variants: two to six of them by name, such as ["lora", "base"], in that order; those of the page if left out
        Returns:
            question, agreement (one sentence), warnings, and variants: each with variant, label, answer, start, end,
            confidence (0 to 1), latency_ms, candidates (the five best) and problem
        """
        for name, value in (("passage", passage), ("question", question)):
            if not isinstance(value, str):  # whatever JSON brings
                raise gr.Error(f"The {name} is not a text.", print_exception=False)
        if variants is not None and not (isinstance(variants, list) and all(isinstance(one, str) for one in variants)):
            raise gr.Error("The variants are not a list of names.", print_exception=False)
        try:
            return service.compare(passage, question, variants=variants or ()).as_dict()
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    return compare
