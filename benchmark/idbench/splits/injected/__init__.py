"""Injected identities: a background, people assigned at random to corpora A and B, a control without any of them.

One recipe for `avatars` (drawn), `lfw-injected` (a folder of faces) and `cc3m-injected` (full size).
"""
