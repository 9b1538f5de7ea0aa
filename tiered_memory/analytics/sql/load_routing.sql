INSERT INTO routing BY NAME SELECT * FROM incoming_routing;
