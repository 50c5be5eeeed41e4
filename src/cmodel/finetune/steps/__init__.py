"""The steps that train. Their options load without PyTorch, their work does not."""
