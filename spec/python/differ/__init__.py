"""What `differential.py` asks: values that are made, ways of spoiling them, and families of questions about both."""
