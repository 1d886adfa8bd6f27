"""What the tests are made of: the server under test, a peer by aiortc, a bad network, and measurements."""
