module example.com/h1/peers

go 1.25

require example.com/h1 v0.0.0

replace example.com/h1 => ../
