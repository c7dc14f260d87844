"""Write the corpus of bytes that are not terms: ``python3 tests/corpus/make_invalid.py``.

Each case is a file of bytes, ``invalid/NAME.etf``, and a line of ``invalid/index.txt``: the name,
the offset of the fault (for input that ends too early: its length), the tag of the faulty term or
``-``, and words from the reason.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from struct import pack

FOLDER = Path(__file__).parent / "invalid"


def tiny(text: str) -> bytes:
    """A SMALL_ATOM_UTF8_EXT."""
    return bytes((119, len(text))) + text.encode()


def packed(claimed: int, plain: bytes, cut: int | None = None) -> bytes:
    """A compressed term, with the size it claims."""
    return b"P" + pack(">I", claimed) + zlib.compress(plain)[:cut]


NODE = tiny("a@b")
PID = b"X" + NODE + bytes(12)
FUN_HEAD = b"p" + pack(">IB16sI", 0, 1, bytes(16), 0)
ZEROS = packed(5_000_005, b"m" + pack(">I", 5_000_000) + bytes(5_000_000))

Case = tuple[bytes, int, "int | None", str]

# The bytes after the version byte; the offset, counted from the version byte; the tag; the reason.
CASES: dict[str, Case] = {
    "nothing": (b"", 1, None, "ends"),
    # Ends too early.
    "cut_small_integer": (b"a", 2, 97, "ends"),
    "cut_integer": (b"b\0\0\0", 5, 98, "ends"),
    "cut_float": (b"F\0\0\0\0\0\0\0", 9, 70, "ends"),
    "cut_old_float": (b"c1.5", 5, 99, "ends"),
    "cut_atom": (b"w\5abc", 6, 119, "ends"),
    "cut_atom_within_a_character": (b"w\2\xc3", 4, 119, "ends"),
    "cut_long_atom": (b"v\0\5abc", 7, 118, "ends"),
    "cut_latin1_atom": (b"d\0\5abc", 7, 100, "ends"),
    "cut_binary": (b"m\0\0\0\5abc", 9, 109, "ends"),
    "cut_bits": (b"M\0\0\0\5\3abc", 10, 77, "ends"),
    "cut_string": (b"k\0\5abc", 7, 107, "ends"),
    "cut_big": (b"n\5\0abc", 7, 110, "ends"),
    "cut_large_big": (b"o\0\0\0\5\0abc", 10, 111, "ends"),
    "cut_pid": (PID[:-1], 18, 88, "ends"),
    "cut_reference": (b"Z\0\2" + NODE + bytes(8), 17, 90, "ends"),
    "cut_port": (b"x" + NODE + bytes(11), 18, 120, "ends"),
    "cut_export": (b"q" + NODE + tiny("f"), 10, 113, "ends"),
    "cut_list_tail": (b"l\0\0\0\1a\1", 8, 108, "ends"),
    "cut_list_second_tail": (b"l\0\0\0\1a\1l\0\0\0\1a\1", 15, 108, "ends"),
    "cut_tuple_between": (b"h\2a\1", 5, 104, "ends"),
    "cut_map_between": (b"t\0\0\0\1a\1", 8, 116, "ends"),
    "cut_fun": (FUN_HEAD, 27, 112, "ends"),
    "cut_compressed_size": (b"P\0\0", 4, 80, "ends"),
    # Claims more than there is: a decoder must not allocate memory for it.
    "claims_binary": (b"m\xff\xff\xff\xffx", 7, 109, "ends"),
    "claims_string": (b"k\xff\xffx", 5, 107, "ends"),
    "claims_big": (b"o\xff\xff\xff\xff\0x", 8, 111, "ends"),
    "claims_tuple": (b"h\xffa\1", 1, 104, "255 elements are claimed"),
    "claims_large_tuple": (b"i\xff\xff\xff\xffa\1", 1, 105, "claimed"),
    "claims_list": (b"l\xff\xff\xff\xffa\1j", 1, 108, "claimed"),
    "claims_second_list": (b"l\0\0\0\1a\1l\xff\xff\xff\xffa\1j", 8, 108, "claimed"),
    "claims_map": (b"t\xff\xff\xff\xffa\1a\1", 1, 116, "claimed"),
    "claims_map_half": (b"t\0\0\0\2a\1", 1, 116, "claimed"),
    "claims_free_variables": (FUN_HEAD + b"\xff\xff\xff\xff" + PID, 1, 112, "claimed"),
    "claims_old_free_variables": (b"u\xff\xff\xff\xff" + PID, 1, 117, "claimed"),
    "claims_record": (b"C\xff\xff\xff\xff\1" + NODE, 1, 67, "claimed"),
    # Bytes that no term starts with, or not here.
    "tag_0": (b"\0", 1, 0, "unknown tag"),
    "tag_255": (b"\xff", 1, 255, "unknown tag"),
    "tag_in_list": (b"l\0\0\0\2a\1\x01j", 8, 1, "unknown tag"),
    "tag_as_tail": (b"l\0\0\0\1a\1\x01", 8, 1, "unknown tag"),
    "version_in_tuple": (b"h\1\x83a\1", 3, 131, "unknown tag"),
    "distribution_header": (b"D\0a\1", 1, 68, "unknown tag"),
    "no_header": (b"R\0", 1, 82, "has no atom 0"),
    "no_header_in_pid": (b"XR\0" + bytes(12), 2, 82, "has no atom 0"),
    "after_the_term": (b"a\1\0", 3, None, "after the term"),
    "after_a_binary": (b"m\0\0\0\1ab", 7, None, "after the term"),
    # Contents.
    "float_nan": (b"F\x7f\xf8" + bytes(6), 1, 70, "finite"),
    "float_infinite": (b"F\xff\xf0" + bytes(6), 1, 70, "finite"),
    "float_infinite_in_list": (
        b"l\0\0\0\x64" + (b"F" + bytes(8)) * 70 + b"F\x7f\xf0" + (bytes(6) + b"F\0\0") * 30,
        636,
        70,
        "finite",
    ),
    "float_text": (b"c" + b"abc".ljust(31, b"\0"), 1, 99, "a float is not a number"),
    "float_text_empty": (b"c" + bytes(31), 1, 99, "a float is not a number"),
    "float_text_nan": (b"c" + b"nan".ljust(31, b"\0"), 1, 99, "a float is not a number"),
    "float_text_inf": (b"c" + b"-inf".ljust(31, b"\0"), 1, 99, "a float is not a number"),
    "float_text_underscore": (b"c" + b"1_0.5".ljust(31, b"\0"), 1, 99, "a float is not a number"),
    "float_text_too_large": (b"c" + b"1.0e999".ljust(31, b"\0"), 1, 99, "finite"),
    "atom_no_utf8": (b"w\2\xc3\x28", 1, 119, "UTF-8"),
    "atom_no_utf8_long": (b"v\0\1\xff", 1, 118, "UTF-8"),
    "atom_overlong": (b"w\2\xc0\x80", 1, 119, "UTF-8"),
    "atom_surrogate": (b"w\3\xed\xa0\x80", 1, 119, "UTF-8"),
    "atom_256": (b"v\1\0" + b"a" * 256, 1, 118, "256 characters"),
    "atom_256_latin1": (b"d\1\0" + b"\xe9" * 256, 1, 100, "256 characters"),
    "atom_256_in_list": (b"l\0\0\0\1v\1\0" + b"a" * 256 + b"j", 6, 118, "256 characters"),
    "map_key_twice": (b"t\0\0\0\2a\1a\2a\1a\3", 14, 116, "twice"),
    "map_key_twice_merging": (
        b"t\0\0\0\3a\1a\2F\x3f\xf0" + bytes(6) + b"a\2a\1a\3",
        25,
        116,
        "twice",
    ),
    "map_list_key_twice": (b"t\0\0\0\2k\0\1aa\2k\0\1aa\3", 18, 116, "twice"),
    "map_atom_key_twice": (b"t\0\0\0\2w\4truea\2s\4truea\3", 22, 116, "twice"),
    "bits_9": (b"M\0\0\0\1\x09a", 1, 77, "9 bits"),
    "bits_none_of_some": (b"M\0\0\0\1\0a", 1, 77, "0 bits"),
    "bits_some_of_none": (b"M\0\0\0\0\3", 1, 77, "3 bits"),
    "bits_none_of_none": (b"M\0\0\0\0\0", 1, 77, "0 bits"),
    "pid_without_node": (b"Xa\1" + bytes(12), 2, 97, "expected an atom"),
    "pid_of_a_list": (b"Xj" + bytes(12), 2, 106, "expected an atom"),
    "old_pid_without_node": (b"gk\0\1a" + bytes(9), 2, 107, "expected an atom"),
    "reference_without_node": (b"Z\0\1a\1" + bytes(8), 4, 97, "expected an atom"),
    "reference_0": (b"Z\0\0" + NODE + bytes(4), 1, 90, "0 words"),
    "reference_6": (b"Z\0\6" + NODE + bytes(28), 1, 90, "6 words"),
    "old_reference_6": (b"r\0\6" + NODE + bytes(25), 1, 114, "6 words"),
    "old_reference_0": (b"r\0\0" + NODE + bytes(1), 1, 114, "0 words"),
    "export_without_module": (b"qa\1" + tiny("f") + b"a\1", 2, 97, "expected an atom"),
    "export_wide_arity": (b"q" + tiny("m") + tiny("f") + b"b\0\0\1\0", 8, 113, "arity"),
    "fun_without_pid": (FUN_HEAD + bytes(4) + tiny("m") + b"a\1a\1a\1", 1, 112, "another type"),
    "fun_without_module": (FUN_HEAD + bytes(4) + b"a\1a\1a\1" + PID, 1, 112, "expected an atom"),
    "fun_with_float_index": (
        FUN_HEAD + bytes(4) + tiny("m") + b"F" + bytes(8) + b"a\1" + PID,
        1,
        112,
        "another type",
    ),
    "record_half_exported": (b"C\0\0\0\0\2" + tiny("m") + tiny("r"), 1, 67, "exported"),
    "record_without_module": (b"C\0\0\0\0\1a\1" + tiny("r"), 1, 67, "expected an atom"),
    "record_number_as_field": (b"C\0\0\0\1\1" + tiny("m") + tiny("r") + b"a\1a\1", 1, 67, "expected an atom"),
    # Compressed.
    "packed_beyond_limit": (b"P\xff\xff\xff\xff" + zlib.compress(b"a\1"), 1, 80, "more than"),
    "packed_bomb": (ZEROS[:1] + pack(">I", 100) + ZEROS[5:], 1, 80, "claims"),
    "packed_no_zlib": (b"P\0\0\0\2a\1", 1, 80, "broken"),
    "packed_cut": (packed(2, b"a\1", -3), 1, 80, "claims"),
    "packed_wrong_sum": (packed(2, b"a\1", -1) + b"\0", 1, 80, "broken"),
    "packed_claims_less": (packed(1, b"a\1"), 1, 80, "claims"),
    "packed_claims_more": (packed(3, b"a\1"), 1, 80, "claims"),
    "packed_twice": (packed(len(packed(2, b"a\1")), packed(2, b"a\1")), 1, 80, "within"),
    "packed_version": (packed(3, b"\x83a\1"), 1, 80, "unknown tag"),
    "packed_two_terms": (packed(4, b"a\1a\2"), 1, 80, "after the compressed term"),
    "packed_cut_term": (packed(1, b"a"), 1, 80, "ends"),
    "packed_in_tuple": (b"h\1" + packed(2, b"a\1"), 3, 80, "within"),
    "after_packed": (packed(2, b"a\1") + b"a\1", 16, None, "after the term"),
    "local_in_tuple": (b"h\1yabc", 3, 121, "within"),
    # Nested.
    "deep_tuples": (b"h\1" * 513 + b"a\1", 1025, 104, "deeper"),
    "deep_lists": (b"l\0\0\0\1" * 513 + b"j" * 514, 2561, 108, "deeper"),
    "deep_maps": (b"t\0\0\0\1a\1" * 513 + b"a\1", 3585, 116, "deeper"),
    "deep_keys": (b"t\0\0\0\1" * 600 + b"a\1" * 601, 2561, 116, "deeper"),
    "deep_funs": ((FUN_HEAD + b"\0\0\0\1") * 600 + bytes(3000), 15361, 112, "deeper"),
    "deep_records": (b"C\0\0\0\1\1" * 600 + bytes(2000), 3073, 67, "deeper"),
    "deep_packed": (packed(1202, b"h\1" * 600 + b"a\1"), 1, 80, "deeper"),
}

# Without the version byte.
WHOLE: dict[str, Case] = {
    "empty": (b"", 0, None, "version byte"),
    "no_version": (b"a\1", 0, None, "version byte"),
    "version_130": (b"\x82a\1", 0, None, "version byte"),
}


def main() -> None:
    """Write all files."""
    FOLDER.mkdir(exist_ok=True)
    lines = []
    for name, (data, offset, tag, reason) in {**WHOLE, **CASES}.items():
        version = b"" if name in WHOLE else b"\x83"
        (FOLDER / f"{name}.etf").write_bytes(version + data)
        lines.append(f"{name} {offset} {'-' if tag is None else tag} {reason}\n")
    (FOLDER / "index.txt").write_text("".join(lines))


if __name__ == "__main__":
    main()
