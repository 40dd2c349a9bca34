"""What a training depends on: the strategy, the network, what all strategies share."""
