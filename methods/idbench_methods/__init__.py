"""The methods that come with idbench; each is a plug-in like any other."""
