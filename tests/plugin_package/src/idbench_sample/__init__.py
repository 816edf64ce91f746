"""Plug-ins as strangers write them."""
