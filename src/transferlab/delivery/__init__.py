"""The model to take home: chosen, written, asked about photographs of anybody's, exported."""
