"""The engine: packed states, remembered answers, and the `System` made of them."""
