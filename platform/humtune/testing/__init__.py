"""What a family, head, backbone, front end or score type outside humtune is tested by."""
