"""Texts of terms, compared with real nodes: which are accepted or refused, and their values."""

from __future__ import annotations

import re

from tests.interop.beam import Otp, Start
from tests.interop.term_texts import texts
from uds_dist.errors import ParseError
from uds_dist.etf.decode import decode
from uds_dist.etf.encode import encode
from uds_dist.etf.parse import parse_term
from uds_dist.etf.terms import exact_key

SEED = 27_29
GENERATED = 2_000
# `parse_term` accepts a text without a dot; for the node a missing dot is added.
READ = """
[try
    {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Text)),
    Dot = case Tokens =:= [] orelse element(1, lists:last(Tokens)) of
              dot -> [];
              _ -> [{dot, 1}]
          end,
    {ok, Term} = erl_parse:parse_term(Tokens ++ Dot),
    {ok, Term}
 catch
    _:_ -> refused
 end || Text <- binary_to_term(Texts)]
"""
# New in OTP 28: 16#f.8.
FLOAT_WITH_A_BASE = re.compile(r"\d#[0-9A-Za-z_]*\.[0-9A-Za-z]")


def test_a_corpus_of_texts_is_read_like_on_the_node(otp: Otp, beam: Start) -> None:
    corpus = texts(SEED, GENERATED)
    node = beam("", elixir=False)
    asked = encode([list(map(ord, text)) for text in corpus])
    answers = decode(node.eval_binary(READ, {"Texts": asked}, timeout=60))
    assert isinstance(answers, list) and len(answers) == len(corpus)
    accepted = 0
    for text, answer in zip(corpus, answers):
        try:
            value: object = parse_term(text)
        except ParseError:
            assert answer == "refused", f"{text!r} is {answer}"
            continue
        if otp.label == "27" and answer == "refused" and FLOAT_WITH_A_BASE.search(text):
            continue
        assert isinstance(answer, tuple), f"{text!r} is refused; read as {value!r}"
        assert exact_key(value) == exact_key(answer[1]), text
        accepted += 1
    assert accepted > len(corpus) // 2
