"""The file manager: the one process that serves the files of one volume on a cluster."""
