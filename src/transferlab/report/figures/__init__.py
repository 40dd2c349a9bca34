"""Tables in, figures out, one module per figure."""
