"""An address, a folder or a drawing -> one verified zip."""
