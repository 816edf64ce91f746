"""A server that speaks enough of the Hugging Face Hub's protocol for the unmodified clients, to read and to write.

What it refuses and accepts is modelled on the clients' source and the Hub's documentation. Git is modelled, not run.
"""
