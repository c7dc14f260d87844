"""The External Term Format: bytes <-> Python values, and the text of Erlang terms."""
