"""The backbone's starting weights: official, the user's own, none, or trained here."""
