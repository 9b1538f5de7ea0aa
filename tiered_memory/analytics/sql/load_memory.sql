INSERT INTO memory BY NAME SELECT * FROM incoming_memory;
