"""From other people's formats to modules of tsp_tensor. Each front end is a package of its own, an extra."""
