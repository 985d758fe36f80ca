"""The nouns: frozen dataclasses and pure rules. No I/O, no await."""
