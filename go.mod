module example.com/h1

go 1.25
