"""One module per page; a folder called `pages` would be read by Streamlit on its own."""
