"""The twins in torch of the layer types that train, held to the engine by tests."""
