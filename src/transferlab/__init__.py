"""transferlab: which transfer-learning strategy should I use on my images, and how sure can I
be?
"""
