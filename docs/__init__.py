"""What the pages take from declarations and results, and how the site is made of them."""
