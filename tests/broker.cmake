farm_test(table broker)
farm_test(fair broker)
farm_test(ledger broker)
