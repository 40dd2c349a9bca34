"""Models and images -> predictions tables, the narrow waist: torch ends here."""
