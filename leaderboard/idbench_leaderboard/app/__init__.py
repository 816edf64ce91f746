"""The Streamlit pages; `main.py` is what `streamlit run` is given."""
