"""What finished trials are worth: candidates, the best per machine, points, ensembles."""
