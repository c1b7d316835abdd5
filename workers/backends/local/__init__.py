"""What models in this process share, whatever library runs them."""
