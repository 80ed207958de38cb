"""An ensemble taught to one small network, by a search whose trials learn what another's ensembles say."""
